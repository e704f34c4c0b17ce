<%@ page contentType="text/html; charset=UTF-8" session="true" trimDirectiveWhitespaces="true" %>
<%!
    /** Text for HTML: what a visitor typed must not become markup. */
    private static String escaped(Object text) {
        return String.valueOf(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }
%>
<%
    request.setCharacterEncoding("UTF-8");
    if (request.getMethod().equals("POST")) {
        session.setAttribute("note", request.getParameter("note"));
        response.sendRedirect(response.encodeRedirectURL(request.getContextPath() + "/"));
        return;
    }
    Integer visits = (Integer) session.getAttribute("visits");
    visits = visits == null ? 1 : visits + 1;
    session.setAttribute("visits", visits);
    Object note = session.getAttribute("note");
    String node = System.getProperty("jvm.route");
    String id = session.getId();
    String route = id.contains(".") ? id.substring(id.lastIndexOf('.') + 1) : "none";
%>
<!DOCTYPE html>
<html lang="en">
<head><title>Visit <%= visits %> on <%= node %></title><link rel="stylesheet" href="static/demo.css"></head>
<body class="<%= node %>">
<h1>Visit <%= visits %> on <%= node %></h1>
<dl>
<dt>Node that answers</dt><dd><%= node %></dd>
<dt>Route in the session id</dt><dd><%= escaped(route) %></dd>
<dt>Session</dt><dd><%= escaped(id) %></dd>
<dt>Your note</dt><dd><%= note == null ? "none yet" : escaped(note) %></dd>
</dl>
<form method="post" action="<%= response.encodeURL(request.getContextPath() + "/") %>">
<label>Leave a note in the session: <input name="note" maxlength="200"></label> <button>Send</button>
</form>
<p><a href="<%= response.encodeURL(request.getContextPath() + "/") %>">Reload</a>: the session sticks to <%= node %>.</p>
</body>
</html>
