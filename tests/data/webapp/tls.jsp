<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" import="java.security.cert.X509Certificate" %>
<%
    // What the application is told of the client's TLS connection, one fact per line; the certificates in their order.
    String prefix = "jakarta.servlet.request.";
    StringBuilder facts = new StringBuilder();
    facts.append("secure=").append(request.isSecure()).append('\n');
    facts.append("scheme=").append(request.getScheme()).append('\n');
    facts.append("cipher_suite=").append(request.getAttribute(prefix + "cipher_suite")).append('\n');
    facts.append("key_size=").append(request.getAttribute(prefix + "key_size")).append('\n');
    facts.append("session_id=").append(request.getAttribute(prefix + "ssl_session_id")).append('\n');
    facts.append("protocol=").append(request.getAttribute("org.apache.tomcat.util.net.secure_protocol_version")).append('\n');
    X509Certificate[] chain = (X509Certificate[]) request.getAttribute(prefix + "X509Certificate");
    for (X509Certificate certificate : chain == null ? new X509Certificate[0] : chain) {
        facts.append("certificate=").append(certificate.getSubjectX500Principal().getName()).append('\n');
    }
    out.print(facts);
%>
