// Shows whether the live connection is open, and leaves the page when its session has ended.
const status = document.getElementById("live-status");

if (status) {
  const url = new URL(status.dataset.live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const show = (text, isOn) => {
    status.textContent = text;
    status.classList.toggle("on", isOn);
  };

  // This very page may be logging out: to reload it would cancel the answer that is on its way.
  let isLeaving = false;
  addEventListener("beforeunload", () => (isLeaving = true));
  // Nor is a page that the browser kept alive any proof that its reader is still logged in.
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  // Another tab may be logging out: its next page comes first, to show the message that is meant for it.
  const leave = () => {
    show("session ended", false);
    setTimeout(() => isLeaving || location.reload(), 500);
  };

  // Why a connection was refused is not told to scripts.
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
      show("on", true);
    });
    socket.addEventListener("close", async (event) => {
      show("reconnecting", false);
      if (event.code === 4401 || (await hasSessionEnded())) {
        leave();
        return;
      }
      setTimeout(open, delay, Math.min(delay * 2, 30000));
    });
  };
  open(1000);
}
