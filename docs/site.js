// What is moved sideways can be reached and moved with the keyboard.
const reach = () => {
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap, p:has(> img)")) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);
