// Writes: JSON to this server, with the word that stands in its pages.
const word = document.querySelector('meta[name="assay-word"]')?.content ?? "";

export async function send(path, body) {
  const headers = { "content-type": "application/json", "x-assay-word": word };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await answer.text();
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    said = { error: text.trim() };
  }
  if (!answer.ok || said.error) throw new Error(said.error ?? `the server answered ${answer.status}`);
  return said;
}
