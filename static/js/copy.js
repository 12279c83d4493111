// Shows «Копировать» beside numbers where the browser is able to copy.
(function () {
  "use strict";

  function able() {
    return Boolean(navigator.clipboard) || (document.queryCommandSupported && document.queryCommandSupported("copy"));
  }

  function byHand(text) {
    var area = document.createElement("textarea");
    area.value = text;
    area.className = "vh";
    document.body.appendChild(area);
    area.select();
    try {
      return document.execCommand("copy");
    } catch (refused) {
      return false;
    } finally {
      document.body.removeChild(area);
    }
  }

  function copied(button) {
    var usual = button.textContent;
    var said = button.getAttribute("data-copied");
    if (usual !== said) {
      button.textContent = said;
      window.setTimeout(function () { button.textContent = usual; }, 2000);
    }
  }

  function copy(button) {
    var text = button.getAttribute("data-copy");
    function fallback() {
      if (byHand(text)) {
        copied(button);
      }
    }
    // Inside a foreign frame the clipboard may be forbidden; the old way often still works.
    if (navigator.clipboard) {
      navigator.clipboard.writeText(text).then(function () { copied(button); }, fallback);
    } else {
      fallback();
    }
  }

  function offer(button) {
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", function () { copy(button); });
  }

  if (able()) {
    Array.prototype.forEach.call(document.querySelectorAll("[data-copy]"), offer);
  }
}());
