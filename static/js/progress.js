// Renews parts of a page while something is under way. Without it the page is complete, only older.
(function () {
  "use strict";
  var LIMIT = 10 * 60 * 1000;
  var SLOWEST = 30;

  function watch(place, voice) {
    var url = place.getAttribute("data-refresh-url");
    var usual = Math.max(1, parseFloat(place.getAttribute("data-refresh-seconds")) || 5);
    var pause = usual;
    var began = Date.now();
    var shown = "";

    function later() {
      if (Date.now() - began < LIMIT) {
        window.setTimeout(ask, pause * 1000);
      }
    }

    function slower(factor) {
      pause = Math.min(Math.max(SLOWEST, usual), pause * factor);
      later();
    }

    function ask() {
      if (document.hidden) {
        return later();
      }
      var request = new XMLHttpRequest();
      request.open("GET", url);
      request.timeout = 15000;
      request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      request.onload = function () {
        answered(request);
      };
      request.onerror = request.ontimeout = function () {
        slower(2);
      };
      request.send();
    }

    function answered(request) {
      var html = request.responseText;
      if (request.status !== 200) {
        // Gone or not ours any more: asking again would not help. Trouble of the server passes.
        return request.status >= 500 || request.status === 429 ? slower(2) : undefined;
      }
      // A whole page instead of a fragment: the person is signed out.
      if (/<html[\s>]/i.test(html)) {
        return undefined;
      }
      if (html === shown) {
        return slower(1.2);
      }
      shown = html;
      pause = usual;
      return show(html);
    }

    function show(html) {
      var focused = place.contains(document.activeElement) ? document.activeElement.id : "";
      place.innerHTML = html;
      if (focused && document.getElementById(focused)) {
        document.getElementById(focused).focus();
      }
      var root = place.firstElementChild;
      say(root);
      if (!root || !root.hasAttribute("data-refresh-done")) {
        return later();
      }
      return root.getAttribute("data-refresh-done") === "reload" ? window.location.reload() : undefined;
    }

    function say(root) {
      var words = root ? root.getAttribute("data-refresh-say") : "";
      if (words && words !== voice.textContent) {
        voice.textContent = words;
      }
    }

    later();
  }

  function start() {
    var places = document.querySelectorAll("[data-refresh-url]");
    var i, voice;
    for (i = 0; i < places.length; i += 1) {
      voice = document.createElement("div");
      voice.className = "vh";
      voice.setAttribute("role", "status");
      voice.setAttribute("aria-live", "polite");
      places[i].parentNode.insertBefore(voice, places[i].nextSibling);
      watch(places[i], voice);
    }
  }

  start();
}());
