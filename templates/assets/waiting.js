// Asks every few seconds what became of the request, and goes on when there is something new. Until then the page stays as
// it is, but for its times: whoever reads it, or uses it by keyboard, is not disturbed.
(function () {
  "use strict";
  const link = document.getElementById("look-again");
  if (!link) {
    return;
  }

  function later() {
    window.setTimeout(look, 5000);
  }

  async function look() {
    try {
      const answer = await fetch(link.href, { redirect: "manual", headers: { accept: "text/html" } });
      // Too busy, or not there for a moment.
      if (answer.status === 429 || answer.status >= 500) {
        later();
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!page.getElementById("look-again")) {
        window.location.replace(link.href);
        return;
      }
      const [shown, now] = [document, page].map((one) => one.querySelector(".reference"));
      if (shown && now) {
        shown.replaceWith(document.importNode(now, true));
      }
    } catch {
      // No network for the moment.
    }
    later();
  }

  later();
})();
