// Trades the token for a cookie that no script can read. The token goes in a header: an address would be remembered.

const said = document.getElementById("said");
const token = document.getElementById("token");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  try {
    const answer = await fetch("/login", { headers: { Authorization: `Bearer ${token.value.trim()}` } });
    if (answer.ok) location.reload();
    else said.textContent = "That is not the token.";
  } catch {
    said.textContent = "The server does not answer, or the token has letters that cannot be sent.";
  }
  token.value = "";
});
