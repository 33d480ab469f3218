/** Puts a style sheet into the page; that of a view is part of its code. */
export function adopt(css: string): void {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
}
