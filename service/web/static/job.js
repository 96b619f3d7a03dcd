// A job's page: looks how far it is, less often the longer it takes and not at all while nobody sees the page, and loads the page anew at its end.
const FIRST_MS = 500;
const WIDEST_MS = 5000;
const card = document.getElementById("job");
const part = (name) => document.getElementById(`job-${name}`);
const whole = new Intl.NumberFormat("en");
let pause = FIRST_MS;
let timer;

function show(job) {
  part("state").textContent = job.cancelling ? "cancelling" : job.state;
  const of = job.total === null ? "" : ` of ${whole.format(job.total)}`;
  const failed = job.failed ? `, ${whole.format(job.failed)} could not be done` : "";
  part("counts").textContent = whole.format(job.done) + of + failed;
  part("message").textContent = job.message ?? "";
  if (job.total === null) part("progress").removeAttribute("value");
  else part("progress").value = job.progress;
}

async function look() {
  try {
    const answer = await fetch(card.dataset.url, { headers: { Accept: "application/json" } });
    if (answer.ok) {
      const job = await answer.json();
      if (job.finished_at !== null) {
        location.reload();
        return;
      }
      show(job);
    }
  } catch {
    // The service is away for a moment: the next look will tell.
  }
  pause = Math.min(pause * 1.2, WIDEST_MS);
  timer = setTimeout(look, pause);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) {
    pause = FIRST_MS;
    look();
  }
});
timer = setTimeout(look, FIRST_MS);
