// Shows whether the live connection is open, and tells the reader when their session has ended.
const status = document.getElementById("live-status");

if (status) {
  const url = new URL(status.dataset.live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const show = (text, isOn) => {
    status.textContent = text;
    status.classList.toggle("on", isOn);
  };
  const open = (delay) => {
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => {
      delay = 1000;
      show("on", true);
    });
    socket.addEventListener("close", (event) => {
      if (event.code === 4401) {
        show("session ended", false);
        location.reload();
        return;
      }
      show("reconnecting", false);
      setTimeout(open, delay, Math.min(delay * 2, 30000));
    });
  };
  open(1000);
}
