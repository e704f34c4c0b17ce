<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
<%
    // Answers after ?ms= milliseconds, for requests that must be under way when something happens.
    Thread.sleep(Integer.parseInt(request.getParameter("ms")));
    out.print("node=" + System.getProperty("jvm.route") + "\n");
%>
