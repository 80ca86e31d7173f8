// Keys, and what htmx needs to ask only for what has changed. Without this file every page works.
"use strict";
const byId = (id) => document.getElementById(id);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && byId("q")) {
    event.preventDefault();
    byId("q").select();
    byId("q").focus();
  } else if (event.key === "r") {
    location.reload();
  }
});

const tags = new WeakMap();
document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  const busy = !getSelection().isCollapsed || ctx.sourceElement.querySelector("input:focus, select:focus, textarea:focus");
  if (document.hidden || busy) event.preventDefault(); // nobody looks, or somebody copies or types
  else if (tags.has(ctx.sourceElement)) ctx.request.headers["If-None-Match"] = tags.get(ctx.sourceElement);
});
document.addEventListener("htmx:after:request", (event) => {
  const { ctx } = event.detail;
  const tag = ctx.response.headers.get("ETag");
  if (ctx.response.status === 200 && tag) tags.set(ctx.sourceElement, tag);
  ctx.sourceElement.classList.toggle("stale", ctx.response.status >= 400);
  lost(false);
});
document.addEventListener("htmx:error", () => lost(true));

function lost(isLost) {
  if (byId("lost")) byId("lost").hidden = !isLost;
}
