// The reader's zone, and whether the browser is dark, for pages that are made on the server.
document.cookie = "payspool_zone=" + Intl.DateTimeFormat().resolvedOptions().timeZone
  + ";path=/;max-age=31536000;samesite=lax";
if (/payspool_dark=dark/.test(document.cookie) ||
    (!/payspool_dark=light/.test(document.cookie) && matchMedia("(prefers-color-scheme: dark)").matches)) {
  document.documentElement.classList.add("dark");
}
