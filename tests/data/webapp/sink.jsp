<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" import="java.io.InputStream, java.nio.ByteBuffer, java.nio.ByteOrder, java.security.MessageDigest, java.math.BigInteger" %>
<%!
    private static long word(long k) {
        long z = (k + 1) * 0x9E3779B97F4A7C15L;
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
%>
<%
    // Reads the body and prints its length, its SHA-256, and where it first differs from the pattern of bytes.jsp (-1: nowhere).
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    InputStream body = request.getInputStream();
    byte[] buffer = new byte[65536];
    long length = 0;
    long differs = -1;
    int count;
    while ((count = body.readNBytes(buffer, 0, buffer.length)) > 0) {
        digest.update(buffer, 0, count);
        ByteBuffer words = ByteBuffer.wrap(buffer, 0, count).order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at < count && differs < 0; at += 8) {
            long expected = word((length + at) / 8);
            if (at + 8 <= count && words.getLong(at) == expected) {
                continue;
            }
            for (int i = at; i < Math.min(at + 8, count) && differs < 0; i++) {
                if (buffer[i] != (byte) (expected >>> (8 * (i - at)))) {
                    differs = length + i;
                }
            }
        }
        length += count;
    }
    out.print("length=" + length + "\n");
    out.print("sha256=" + String.format("%064x", new BigInteger(1, digest.digest())) + "\n");
    out.print("differs_at=" + differs + "\n");
%>
