// What a person does on a page, for engines that only run scripts. ES5, nothing from outside; each function
// gives "" when it is done, or what is wrong.
var bench = {
  words: function (element) {
    return (element.textContent || element.value || "").replace(/[\s\u00a0]+/g, " ").trim();
  },

  // Presses what carries this text; the exact text wins, what nobody sees is passed over.
  press: function (text) {
    var all = Array.prototype.filter.call(
      document.querySelectorAll("a, button, input[type=submit]"),
      function (one) { return one.offsetWidth > 1 && one.offsetHeight > 1 && !one.disabled; }
    );
    var found = all.filter(function (one) { return bench.words(one) === text; })[0] ||
      all.filter(function (one) { return bench.words(one).indexOf(text) >= 0; })[0];
    if (!found) {
      return "no link or button «" + text + "»";
    }
    found.scrollIntoView(false);
    var box = found.getClientRects()[0];
    var top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (!top || !(found.contains(top) || top.contains(found))) {
      return "«" + text + "» is covered by " + (top ? top.outerHTML.slice(0, 100) : "nothing there");
    }
    found.click();
    return "";
  },

  // Fills the field with this label; of a list the option with this text is chosen.
  fill: function (label, value) {
    var labels = Array.prototype.filter.call(document.querySelectorAll("label"), function (one) {
      return bench.words(one).indexOf(label) === 0;
    });
    var field = labels.length ? document.getElementById(labels[0].htmlFor) : null;
    if (!field) {
      return "no field «" + label + "»";
    }
    field.focus();
    field.value = field.tagName !== "SELECT" ? value : Array.prototype.filter.call(
      field.options, function (option) { return bench.words(option) === value; }
    ).map(function (option) { return option.value; })[0];
    ["input", "change"].forEach(function (name) {
      var event = document.createEvent("HTMLEvents");
      event.initEvent(name, true, false);
      field.dispatchEvent(event);
    });
    return field.value ? "" : "«" + label + "» does not take «" + value + "»";
  },

  // Whether the text is on the page.
  see: function (text) {
    var seen = document.readyState === "loading" || !document.body ? "" : document.body.innerText;
    seen = seen.replace(/\u00a0/g, " ");
    return seen.indexOf(text) >= 0 ? "" : "«" + text + "» is not on the page: " + seen.slice(0, 600);
  }
};
