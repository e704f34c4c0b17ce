<%@ page contentType="text/plain; charset=UTF-8" session="false" isErrorPage="true" trimDirectiveWhitespaces="true" import="java.security.MessageDigest, java.util.Collections, java.math.BigInteger" %>
<%
    // What Tomcat understood of the request, one fact per line; the body as its length and SHA-256.
    // An error page in name only: other pages take no method but GET, HEAD, POST and OPTIONS.
    // ?attribute=NAME (repeatable) prints request attributes, among them what JkEnvVar sends.
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    long length = 0;
    byte[] buffer = new byte[65536];
    int count;
    while ((count = request.getInputStream().read(buffer)) > 0) {
        digest.update(buffer, 0, count);
        length += count;
    }
    StringBuilder facts = new StringBuilder();
    facts.append("node=").append(System.getProperty("jvm.route")).append('\n');
    facts.append("method=").append(request.getMethod()).append('\n');
    facts.append("uri=").append(request.getRequestURI()).append('\n');
    facts.append("query=").append(request.getQueryString()).append('\n');
    facts.append("protocol=").append(request.getProtocol()).append('\n');
    facts.append("scheme=").append(request.getScheme()).append('\n');
    facts.append("secure=").append(request.isSecure()).append('\n');
    facts.append("remote_user=").append(request.getRemoteUser()).append('\n');
    facts.append("auth_type=").append(request.getAuthType()).append('\n');
    facts.append("remote_addr=").append(request.getRemoteAddr()).append('\n');
    facts.append("remote_port=").append(request.getRemotePort()).append('\n');
    facts.append("local_addr=").append(request.getLocalAddr()).append('\n');
    facts.append("local_port=").append(request.getLocalPort()).append('\n');
    facts.append("server_name=").append(request.getServerName()).append('\n');
    facts.append("server_port=").append(request.getServerPort()).append('\n');
    facts.append("content_length=").append(request.getContentLengthLong()).append('\n');
    for (String name : Collections.list(request.getHeaderNames())) {
        for (String value : Collections.list(request.getHeaders(name))) {
            facts.append("header ").append(name.toLowerCase()).append('=').append(value).append('\n');
        }
    }
    String query = request.getQueryString();
    for (String pair : query == null ? new String[0] : query.split("&")) {
        if (pair.startsWith("attribute=")) {
            String name = pair.substring("attribute=".length());
            facts.append("attribute ").append(name).append('=').append(request.getAttribute(name)).append('\n');
        }
    }
    facts.append("body_length=").append(length).append('\n');
    facts.append("body_sha256=").append(String.format("%064x", new BigInteger(1, digest.digest()))).append('\n');
    out.print(facts);
%>
