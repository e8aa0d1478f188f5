// Who is signed in, and questions to the API in their name. The token lives as long as the tab;
// the platform's pages share it.

const KEY = "platform.token";

export const signedIn = () => sessionStorage.getItem(KEY) !== null;
export const signOut = () => sessionStorage.removeItem(KEY);

/** Sign in with the platform's own accounts; resolves to "" or to what went wrong. */
export async function signIn(email, password) {
  let answer;
  try {
    answer = await fetch("/api/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email, password }),
    });
  } catch {
    return "The platform does not answer.";
  }
  if (!answer.ok) return answer.status === 401 ? "The address or the password is wrong." : `Signing in failed (${answer.status}).`;
  sessionStorage.setItem(KEY, (await answer.json()).access_token);
  return "";
}

/** Ask the API; throws an error with the problem's detail, and `status` 401 when the token is over. */
export async function ask(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null && value !== false);
  const query = new URLSearchParams(given).toString();
  const answer = await fetch(`api/${path}${query ? `?${query}` : ""}`, {
    headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` },
  });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problem.detail || `The API answered ${answer.status}.`);
  error.status = answer.status;
  throw error;
}
