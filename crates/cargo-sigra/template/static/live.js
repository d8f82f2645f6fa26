// Shows whether the live connection is open, and leaves the page when its session has ended.
const status = document.getElementById("live-status");

if (status) {
  const words = status.dataset;
  const url = new URL(words.live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const show = (text, isOn) => {
    status.textContent = text;
    status.classList.toggle("on", isOn);
  };

  // This page itself may be logging out: a reload would cancel its request.
  let isLeaving = false;
  addEventListener("beforeunload", () => (isLeaving = true));
  // A page from the back/forward cache doesn't prove that its user is still logged in.
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  // Another tab may be logging out. Wait, so that its next page shows the message that is meant for it.
  const leave = () => {
    show(words.ended, false);
    setTimeout(() => isLeaving || location.reload(), 500);
  };

  // Browsers don't tell scripts why a connection was refused.
  const hasSessionEnded = async () => {
    try {
      return (await fetch("/me")).status === 401;
    } catch {
      return false;
    }
  };

  const open = (delay) => {
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => {
      delay = 1000;
      show(words.on, true);
    });
    socket.addEventListener("close", async (event) => {
      show(words.reconnecting, false);
      if (event.code === 4401 || (await hasSessionEnded())) {
        leave();
        return;
      }
      setTimeout(open, delay, Math.min(delay * 2, 30000));
    });
  };
  open(1000);
}
