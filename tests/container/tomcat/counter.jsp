<%@ page contentType="text/plain; charset=UTF-8" session="true" trimDirectiveWhitespaces="true" %>
<%
    // A counter in the session. node= is the Tomcat that answers, route= what the session id says.
    Integer visits = (Integer) session.getAttribute("visits");
    visits = visits == null ? 1 : visits + 1;
    session.setAttribute("visits", visits);
    String id = session.getId();
    out.print("node=" + System.getProperty("jvm.route") + "\n");
    out.print("route=" + (id.contains(".") ? id.substring(id.lastIndexOf('.') + 1) : "") + "\n");
    out.print("session=" + id + "\n");
    out.print("visits=" + visits + "\n");
    out.print("url=" + response.encodeURL("counter.jsp") + "\n");
%>
