
// Begins the exported page.
const pieces = [];
for (const script of document.querySelectorAll('script[type="application/json"]')) {
  for (const [at, statement, kind, text] of JSON.parse(script.textContent)) pieces.push({ at, statement, kind, text });
}
const it = player();
document.getElementById('player').append(it.root);
it.model.add(pieces);
it.changed();
document.addEventListener('keydown', (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest?.('.rp')) return;
  if (it.act(event.key)) event.preventDefault();
});
