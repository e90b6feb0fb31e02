// A button beside each password that shows what was typed. Before it is sent it is a password again, for password managers.
(function () {
  "use strict";
  for (const input of document.querySelectorAll("input[type=password]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "reveal";
    button.setAttribute("aria-controls", input.id);
    const label = document.querySelector(`label[for="${input.id}"]`);
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide" : "Show";
      button.setAttribute("aria-label", `${shown ? "Hide" : "Show"}: ${label ? label.textContent : "password"}`);
    };
    button.addEventListener("click", () => {
      show(input.type === "password");
      input.focus();
    });
    input.form.addEventListener("submit", () => show(false));
    const frame = document.createElement("div");
    frame.className = "secret";
    const focused = document.activeElement === input;
    input.replaceWith(frame);
    frame.append(input, button);
    input.spellcheck = false;
    show(false);
    if (focused) {
      input.focus();
    }
  }
})();
