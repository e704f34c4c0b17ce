<%@ page contentType="application/octet-stream" session="false" trimDirectiveWhitespaces="true" import="java.io.InputStream, java.io.OutputStream" %>
<%
    // Sends the body back while it still comes in: both directions of a connection at once.
    response.setBufferSize(8192);
    InputStream in = request.getInputStream();
    OutputStream body = response.getOutputStream();
    byte[] buffer = new byte[32768];
    int count;
    while ((count = in.read(buffer)) > 0) {
        body.write(buffer, 0, count);
        body.flush();
    }
%>
