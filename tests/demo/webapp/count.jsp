<%@ page contentType="text/plain; charset=UTF-8" session="true" trimDirectiveWhitespaces="true" %>
<%
    // The counter of index.jsp in one line, for curl.
    Integer visits = (Integer) session.getAttribute("visits");
    visits = visits == null ? 1 : visits + 1;
    session.setAttribute("visits", visits);
    out.print("visit " + visits + " on " + System.getProperty("jvm.route") + ", session " + session.getId() + "\n");
%>
