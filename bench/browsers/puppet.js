// Drives Chromium of any age and Firefox: one JSON command a line in, one JSON answer a line out.
// node puppet.js PUPPETEER '{"executablePath": …}' '{"scripts": true, "width": 480, "height": 800}'
"use strict";
var puppeteer = require(process.argv[2]);
var launch = JSON.parse(process.argv[3]);
var wish = JSON.parse(process.argv[4]);
var ask = require("./page.js");
var heard = [];

function answer(said) {
  said.heard = heard.splice(0);
  process.stdout.write(JSON.stringify(said) + "\n");
}

function pause(seconds) {
  return new Promise(function (resolve) { setTimeout(resolve, seconds * 1000); });
}

// A page that is being left answers nothing; then it is asked again.
async function patiently(read, seconds) {
  var end = Date.now() + seconds * 1000;
  while (true) {
    try {
      var got = await read();
      if (got) {
        return got;
      }
    } catch (error) {
      if (!/context|navigat|frame|detached|no such|destroyed|target/i.test(String(error))) {
        throw error;
      }
    }
    if (Date.now() > end) {
      return null;
    }
    await pause(0.2);
  }
}

async function press(page, order) {
  var place = await patiently(function () { return page.evaluate(ask.spot, order.text); }, order.seconds);
  if (!place) {
    return { error: "no link or button «" + order.text + "»" };
  }
  if (place.covered) {
    return { error: "«" + order.text + "» is covered by " + place.covered };
  }
  await page.mouse.click(place.x, place.y);
  await pause(0.5);
  return {};
}

async function fill(page, order) {
  var kind = await patiently(function () {
    return page.evaluate(ask.ready, order.text, order.value);
  }, order.seconds);
  if (!kind) {
    return { error: "no field «" + order.text + "» that takes «" + order.value + "»" };
  }
  if (kind === "type") {
    await page.keyboard.type(order.value);
  }
  return {};
}

async function see(page, order) {
  var found = await patiently(async function () {
    return (await page.evaluate(ask.text)).replace(/\u00a0/g, " ").indexOf(order.text) >= 0;
  }, order.seconds);
  return found ? {} : { error: "«" + order.text + "» is not on the page", text: await page.evaluate(ask.text) };
}

var orders = {
  open: async function (page, order) { await page.goto(order.text, { timeout: order.seconds * 1000 }); return {}; },
  press: press,
  fill: fill,
  see: see,
  shot: async function (page, order) {
    await page.screenshot({ path: order.text, fullPage: true });
    return { overflow: await page.evaluate(ask.overflow) };
  },
  version: async function () { return { version: await wish.browser.version() }; },
};

async function obey(page, line) {
  var order = JSON.parse(line);
  try {
    answer(await orders[order.do](page, order));
  } catch (error) {
    answer({ error: String(error).slice(0, 300) });
  }
}

async function main() {
  var browser = wish.browser = await puppeteer.launch(launch);
  var page = await browser.newPage();
  await page.setViewport({ width: wish.width, height: wish.height });
  if (!wish.scripts) {
    await page.setJavaScriptEnabled(false);
  }
  page.on("pageerror", function (error) { heard.push(String(error)); });
  page.on("requestfailed", function (request) {
    var why = (request.failure() || {}).errorText || "";
    // Given up by the page itself, as when it is left while something still loads.
    if (!/ABORTED/.test(why)) {
      heard.push("failed: " + request.url() + " " + why);
    }
  });
  answer({ pid: browser.process().pid });
  var lines = require("readline").createInterface({ input: process.stdin });
  var last = Promise.resolve();
  lines.on("line", function (line) { last = last.then(function () { return obey(page, line); }); });
  lines.on("close", function () {
    last.then(function () { return browser.close(); }).then(function () { process.exit(0); });
  });
}

main().catch(function (error) {
  answer({ error: String(error).slice(0, 600) });
  process.exit(1);
});
