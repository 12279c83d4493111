// Drives PhantomJS by the same orders as puppet.js: one JSON a line in, one a line out. ES5 of 2016.
// phantomjs phantom.js 480 800
"use strict";
var system = require("system");
var ask = require("./page.js");
var page = require("webpage").create();
var heard = [];

page.viewportSize = { width: Number(system.args[1]), height: Number(system.args[2]) };
page.onError = function (message) { heard.push(message); };
page.onResourceError = function (trouble) {
  // 5: given up by the page itself, as when it is left while something still loads.
  if (trouble.errorCode !== 5) {
    heard.push("failed: " + trouble.url + " " + trouble.errorString);
  }
};

function answer(said) {
  said.heard = heard.splice(0);
  system.stdout.writeLine(JSON.stringify(said));
  system.stdout.flush();
  // Reading waits for the whole line and stops the page's own clock; first let it breathe.
  window.setTimeout(next, 20);
}

function patiently(read, seconds, then) {
  var end = Date.now() + seconds * 1000;
  (function again() {
    var got = read();
    if (got || Date.now() > end) {
      return then(got);
    }
    return window.setTimeout(again, 200);
  }());
}

function typed(order, kind) {
  if (kind === "type") {
    page.sendEvent("keypress", order.value);
  }
  answer(kind ? {} : { error: "no field «" + order.text + "» that takes «" + order.value + "»" });
}

function pressed(order, place) {
  if (!place || place.covered) {
    return answer({ error: "«" + order.text + "»: " + (place ? "covered by " + place.covered : "no such link or button") });
  }
  page.sendEvent("click", place.x, place.y);
  return window.setTimeout(function () { answer({}); }, 500);
}

var orders = {
  version: function () {
    var version = phantom.version;
    answer({ version: "PhantomJS " + [version.major, version.minor, version.patch].join(".") });
  },
  open: function (order) {
    page.open(order.text, function (status) {
      answer(status === "success" ? {} : { error: order.text + " did not open" });
    });
  },
  press: function (order) {
    patiently(function () { return page.evaluate(ask.spot, order.text); }, order.seconds, function (place) {
      pressed(order, place);
    });
  },
  fill: function (order) {
    patiently(function () { return page.evaluate(ask.ready, order.text, order.value); }, order.seconds, function (kind) {
      typed(order, kind);
    });
  },
  see: function (order) {
    patiently(function () {
      return (page.evaluate(ask.text) || "").replace(/\u00a0/g, " ").indexOf(order.text) >= 0;
    }, order.seconds, function (found) {
      answer(found ? {} : { error: "«" + order.text + "» is not on the page", text: page.evaluate(ask.text) });
    });
  },
  shot: function (order) {
    page.render(order.text);
    answer({ overflow: page.evaluate(ask.overflow) });
  }
};

function next() {
  var line = system.stdin.readLine();
  if (!line) {
    phantom.exit(0);
    return;
  }
  var order = JSON.parse(line);
  orders[order["do"]](order);
}

answer({ pid: system.pid });
