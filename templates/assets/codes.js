// Copies and prints the recovery codes. Without a script they are downloaded, or copied by hand.
(function () {
  "use strict";
  const copy = document.getElementById("copy-codes");
  const print = document.getElementById("print-codes");
  const status = document.getElementById("codes-status");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const codes = [...document.querySelectorAll(".codes code")].map((code) => code.textContent);
      try {
        await navigator.clipboard.writeText(codes.join("\n") + "\n");
        status.textContent = "Copied.";
      } catch {
        status.textContent = "Your browser did not allow copying. Select the codes and copy them.";
      }
    });
  }
  if (print) {
    print.hidden = false;
    print.addEventListener("click", () => window.print());
  }
})();
