// Goes on when every frame is there, or when one takes too long. The link is for whoever runs no scripts.
(function () {
  var gone = false;
  function goOn() {
    var link = document.getElementById("continue");
    if (link && !gone) {
      gone = true;
      window.location.replace(link.href);
    }
  }
  window.addEventListener("load", goOn);
  window.setTimeout(goOn, 5000);
})();
