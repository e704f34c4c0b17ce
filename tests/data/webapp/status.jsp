<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
<%
    // Answers ?code=N. With ?error=yes through sendError (Tomcat's error page), else with a body of our own.
    // ?header=NAME&value=V adds a response header; ?times=N adds it N times, numbered.
    int code = Integer.parseInt(request.getParameter("code"));
    String header = request.getParameter("header");
    if (header != null) {
        String times = request.getParameter("times");
        if (times == null) {
            response.addHeader(header, request.getParameter("value"));
        } else {
            for (int i = 1; i <= Integer.parseInt(times); i++) {
                response.addHeader(header, request.getParameter("value") + i);
            }
        }
    }
    if ("yes".equals(request.getParameter("error"))) {
        response.sendError(code);
        return;
    }
    response.setStatus(code);
    out.print("status=" + code + "\n");
%>
