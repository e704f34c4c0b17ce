<%@ page contentType="text/event-stream; charset=UTF-8" session="false" buffer="8kb" trimDirectiveWhitespaces="true" %>
<%
    // ?events=N events, each flushed alone, ?pause=MS apart (0 if not given): a client must see each as it is sent.
    // After the last one the page stays open for ?linger=MS, so that a test can tell a flushed event from the end.
    int events = Integer.parseInt(request.getParameter("events"));
    String pause = request.getParameter("pause");
    String linger = request.getParameter("linger");
    for (int i = 1; i <= events; i++) {
        out.print("data: event " + i + "\n\n");
        out.flush();
        if (pause != null && i < events) {
            Thread.sleep(Long.parseLong(pause));
        }
    }
    if (linger != null) {
        Thread.sleep(Long.parseLong(linger));
    }
%>
