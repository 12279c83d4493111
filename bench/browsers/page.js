// What the drivers ask of a page. Each function is sent into the page as text: ES5, nothing from outside.
"use strict";

// Where to click: the middle of what carries this text. Exact words win; what nobody sees is passed over.
exports.spot = function (text) {
  function words(place) {
    return (place.textContent || place.value || "").replace(/[\s\u00a0]+/g, " ").trim();
  }
  function seen(place) {
    return place.offsetWidth > 1 && place.offsetHeight > 1 && !place.disabled;
  }
  var all = Array.prototype.filter.call(document.querySelectorAll("a, button, input[type=submit]"), seen);
  var found = all.filter(function (place) { return words(place) === text; })[0] ||
    all.filter(function (place) { return words(place).indexOf(text) >= 0; })[0];
  if (!found) {
    return null;
  }
  found.scrollIntoView(false);
  var box = found.getClientRects()[0];
  var x = box.left + box.width / 2;
  var y = box.top + box.height / 2;
  var top = document.elementFromPoint(x, y);
  var free = top && (found.contains(top) || top.contains(found));
  return { x: x, y: y, covered: free ? "" : top ? top.outerHTML.slice(0, 100) : "nothing there" };
};

// Makes the field with this label ready to be typed into; a list is chosen from at once.
exports.ready = function (label, value) {
  function words(place) {
    return place.textContent.replace(/[\s\u00a0]+/g, " ").trim();
  }
  var labels = Array.prototype.filter.call(document.querySelectorAll("label"), function (place) {
    return words(place).indexOf(label) === 0;
  });
  var field = labels.length ? document.getElementById(labels[0].htmlFor) : null;
  if (!field) {
    return "";
  }
  if (field.tagName === "SELECT") {
    Array.prototype.forEach.call(field.options, function (option) {
      if (words(option) === value) {
        field.value = option.value;
      }
    });
    return field.selectedIndex > 0 ? "chosen" : "";
  }
  field.focus();
  field.select();
  return "type";
};

exports.text = function () {
  return document.readyState === "loading" || !document.body ? "" : document.body.innerText;
};

// What sticks out of the screen to the right: the page would have to be pushed sideways.
exports.overflow = function () {
  return document.documentElement.scrollWidth - document.documentElement.clientWidth;
};
