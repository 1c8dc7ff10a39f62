// Opens the console in Chromium as an operator does. Arguments: the folder of the tools, then NAME=URL for each gateway to look at
// (healthy, outage, attack) and webhooks=URL, a webhook of the healthy one. It ends with 1 at the first thing that is not so.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [tools, ...named] = process.argv.slice(2);
const urls = Object.fromEntries(named.map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
const require = createRequire(`${tools}/`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// Containers of CI have no user namespaces for its sandbox; it opens nothing but the gateways of this test.
const browser = await puppeteer.launch({
  executablePath: readFileSync(`${tools}/executable`, "utf8").trim(),
  args: ["--no-sandbox"],
});

// A new page on which whatever the browser complains of, a refused script above all, is an error.
async function open(url, { scripts = true, scheme = "light", width = 1400 } = {}) {
  const page = await browser.newPage();
  page.said = [];
  page.on("console", (message) => page.said.push(message.text()));
  page.on("pageerror", (error) => page.said.push(String(error)));
  page.on("dialog", (dialog) => page.said.push(`dialog ${dialog.message()}`) && dialog.dismiss());
  await page.setViewport({ width, height: 1000 });
  await page.setJavaScriptEnabled(scripts);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(url, { waitUntil: "load" });
  return page;
}

async function close(page) {
  assert.deepEqual(page.said, [], "the browser has nothing to say");
  await page.close();
}

const cells = (page, column) => page.$$eval(`#rows tr td:nth-child(${column})`, (found) => found.map((cell) => cell.innerText));
const state = (page) => page.$eval("#verdict", (verdict) => verdict.innerText);
const until = (page, condition, ...values) => page.waitForFunction(condition, { timeout: 30000, polling: 100 }, ...values);

const checks = {
  async "it says at a glance how things are"() {
    for (const [name, words] of [
      ["healthy", [/All is well/]],
      ["outage", [/Outage/, /The bus is down/, /events? waits? in the spool/]],
      ["attack", [/Somebody should look/, /acme: 40 of 41 signatures did not hold lately/]],
    ]) {
      const page = await open(urls[name]);
      for (const word of words) assert.match(await state(page), word);
      await close(page);
    }
  },

  async "without scripts it renders and filters"() {
    const page = await open(urls.healthy, { scripts: false });
    const all = await cells(page, 2);
    assert.ok(all.includes("acme") && all.includes("payroll") && all.includes("none"), String(all));
    assert.equal(await page.$("#pause"), null);
    await page.select("select[name=source]", "payroll");
    await page.type("input[name=type]", "file.");
    await Promise.all([page.waitForNavigation(), page.click("#filter button")]);
    assert.deepEqual(new Set(await cells(page, 2)), new Set(["payroll"]));
    assert.deepEqual(new Set(await cells(page, 6)), new Set(["com.audit1.file.failed"]));
    assert.equal(await page.$eval("select[name=source]", (field) => field.value), "payroll");
    await Promise.all([page.waitForNavigation(), page.click("#again")]);
    assert.deepEqual(new Set(await cells(page, 2)), new Set(["payroll"]), "the filter stays");
    await close(page);
  },

  async "with scripts a filter acts while it is typed"() {
    const page = await open(urls.healthy);
    await page.evaluate(() => (window.isSamePage = true));
    await page.type("input[name=id]", "evt_plain");
    await until(page, () => document.querySelectorAll("#rows tr").length === 2);
    assert.deepEqual(await cells(page, 7), ["evt_plain", "evt_plain"]);
    assert.match(page.url(), /\?id=evt_plain&limit=100$/);
    await page.select("select[name=outcome]", "rejected");
    await until(page, () => document.querySelectorAll("#rows tr").length === 0);
    assert.match(await page.$eval("#as-json", (link) => link.href), /recent\.json\?outcome=rejected&id=evt_plain$/);
    await page.$eval("input[name=limit]", (field) => (field.value = "0"));
    await page.type("input[name=id]", "x");
    await until(page, () => document.querySelector("#lost").innerText.includes("limit must be"));
    assert.equal(await page.evaluate(() => window.isSamePage), true);
    // The answer to that query is an error, and the browser notes it.
    page.said = page.said.filter((text) => !text.includes("400"));
    await close(page);
  },

  async "it updates by itself, can be paused, and says when the gateway is gone"() {
    const page = await open(urls.healthy);
    await page.evaluate(() => (window.isSamePage = true));
    const count = () => page.$$eval("#rows tr", (rows) => rows.length);
    const before = await count();
    assert.equal((await fetch(urls.webhooks, { method: "POST", body: "{}" })).status, 401);
    await until(page, (rows) => document.querySelectorAll("#rows tr").length === rows, before + 1);
    assert.equal(await page.evaluate(() => window.isSamePage), true, "without a load of the page");
    await page.click("#pause");
    assert.equal(await page.$eval("#pause", (button) => button.innerText), "Go on with updates");
    await page.setOfflineMode(true);
    await page.click("#pause");
    await until(page, () => document.querySelector("#lost").innerText.includes("does not answer"));
    await page.setOfflineMode(false);
    await until(page, () => document.querySelector("#lost").innerText === "");
    page.said = page.said.filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED"));
    await close(page);
  },

  async "a hostile id is a text, and no script runs but the page's own"() {
    const page = await open(urls.healthy);
    const ids = await cells(page, 7);
    assert.ok(ids.some((id) => id.includes("<script>window.pwned=1</script>") && id.includes("<img src=x onerror=")), String(ids));
    assert.ok(ids.some((id) => id.includes("/%3Cscript%3E")), "a path too");
    assert.equal(await page.$("#rows script, #rows img"), null);
    // Also after an update, which parses the page anew.
    await page.type("input[name=id]", "pwned");
    await until(page, () => document.querySelectorAll("#rows tr").length === 1);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    // Had it become a script, the policy would have stopped it.
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.pwned = 2";
      document.body.append(script);
    });
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.ok(page.said.length > 0 && page.said.every((text) => text.includes("Content Security Policy")), String(page.said));
    page.said = [];
    await close(page);
  },

  async "a stranger's page can neither frame it nor read it"() {
    const page = await open(`${new URL(urls.webhooks).origin}/`, { width: 800 });
    const read = await page.evaluate(async (url) => {
      const frame = document.createElement("iframe");
      frame.src = url;
      document.body.append(frame);
      await new Promise((done) => frame.addEventListener("load", done, { once: true }));
      let text = "";
      try {
        text = frame.contentDocument?.body?.innerText ?? "closed";
      } catch {
        text = "closed";
      }
      const fetched = await fetch(url).then(() => "read", () => "refused");
      const opaque = await fetch(url, { mode: "no-cors" }).then(() => "read", () => "refused");
      return { text, fetched, opaque };
    }, urls.healthy);
    assert.deepEqual(read, { text: "closed", fetched: "refused", opaque: "refused" });
    page.said = [];
    await close(page);
  },

  async "the keyboard reaches everything, and shows where it is"() {
    const page = await open(urls.healthy);
    const reached = [];
    for (let step = 0; step < 40; step++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        const name = element.id || element.name || element.getAttribute("aria-label") || element.innerText;
        return { tag: element.tagName, name, outline: outlineStyle === "none" ? "0px" : outlineWidth };
      });
      if (at.tag === "BODY" || reached.some((other) => other.name === at.name)) break;
      assert.equal(at.outline, "3px", `${at.name} shows its focus`);
      reached.push(at);
    }
    const names = reached.map((at) => at.name);
    assert.deepEqual(names, [
      "Skip to the last requests", "pause", "Table of sources", "source", "outcome", "type", "id", "limit", "Show", "Show all",
      "Table of requests", "metrics", "as-json",
    ]);
    await page.reload();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "requests");
    await page.focus("#pause");
    await page.keyboard.press("Space");
    assert.equal(await page.$eval("#pause", (button) => button.innerText), "Go on with updates");
    await close(page);
  },

  async "anyone can read it: contrast, names, landmarks, tables, in light and dark, wide and narrow"() {
    for (const name of ["healthy", "outage", "attack"]) {
      for (const [scheme, width] of [["light", 1900], ["dark", 1900], ["light", 400]]) {
        const page = await open(urls[name], { scheme, width });
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        assert.equal(ground, scheme === "dark" ? "rgb(20, 23, 27)" : "rgb(255, 255, 255)");
        await page.evaluate(axe);
        const { violations, incomplete, passes } = await page.evaluate(() => window.axe.run());
        const told = violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html} ${node.failureSummary}`));
        assert.deepEqual(told, [], `${name} ${scheme} ${width}`);
        // Where the window is narrower than a table, the table's end is scrolled away, and nothing can be measured there.
        const unmeasured = width < 1000 ? [] : incomplete.filter((rule) => rule.id === "color-contrast");
        assert.deepEqual(unmeasured.flatMap((rule) => rule.nodes.map((node) => node.html)), []);
        assert.ok(passes.some((rule) => rule.id === "color-contrast"), "contrast was measured");
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${name} ${width}: ${overflow} pixels wider than the window`);
        await close(page);
      }
    }
  },
};

try {
  for (const [name, check] of Object.entries(checks)) {
    await check();
    console.log(`ok: ${name}`);
  }
} finally {
  await browser.close();
}
