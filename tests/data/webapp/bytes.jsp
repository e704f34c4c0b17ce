<%@ page contentType="application/octet-stream" session="false" trimDirectiveWhitespaces="true" import="java.nio.ByteBuffer, java.nio.ByteOrder, java.io.OutputStream" %>
<%!
    /** Word k of the pattern: SplitMix64's output for the counter k + 1. tests/support/tomcat_server.rs has the same. */
    private static long word(long k) {
        long z = (k + 1) * 0x9E3779B97F4A7C15L;
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
%>
<%
    // ?n=N bytes of the pattern (little-endian words). ?length=no leaves Content-Length out, so that httpd has to chunk.
    long left = Long.parseLong(request.getParameter("n"));
    if (!"no".equals(request.getParameter("length"))) {
        response.setContentLengthLong(left);
    }
    OutputStream body = response.getOutputStream();
    ByteBuffer buffer = ByteBuffer.allocate(65536).order(ByteOrder.LITTLE_ENDIAN);
    for (long k = 0; left > 0; ) {
        buffer.clear();
        while (buffer.hasRemaining()) {
            buffer.putLong(word(k++));
        }
        int count = (int) Math.min(left, buffer.capacity());
        body.write(buffer.array(), 0, count);
        left -= count;
    }
%>
