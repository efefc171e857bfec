/** The ways in which pages come: dropped, pasted, chosen, photographed. */

import { look } from "./api.js";
import { say } from "./dom.js";
import { t } from "./language.js";

const AIM_EVERY_MS = 1500;
const AIM_WIDTH = 1600; // px of a view that is only looked at

const $ = (id) => document.getElementById(id);

/** receive([File, ...]) gets what comes. */
export function takeIn(receive) {
  for (const button of ["choose", "add"]) $(button).addEventListener("click", () => $("files").click());
  // The view is shown here where the browser lets us (HTTPS or this machine), else by the phone itself.
  const phone = matchMedia("(pointer: coarse)").matches;
  $("photograph").hidden = !phone && !navigator.mediaDevices;
  $("photograph").addEventListener("click", () => (navigator.mediaDevices ? photograph(receive) : $("camera").click()));
  $("own-camera").hidden = !phone;
  for (const id of ["files", "camera"]) {
    $(id).addEventListener("change", () => {
      receive([...$(id).files]);
      $(id).value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return; // text goes where it was meant to
    event.preventDefault();
    receive(files);
  });

  let depth = 0; // dragenter and dragleave come for every element on the way
  const over = (change) => {
    depth = change === 0 ? 0 : depth + change;
    $("veil").hidden = depth <= 0;
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && over(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && over(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    over(0);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    receive([...event.dataTransfer.files]);
  });
}

/** Show what the camera sees in a dialog, and whether it could be read, until a picture is taken. */
async function photograph(receive) {
  const dialog = $("photo");
  const video = dialog.querySelector("video");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 3840 } } });
  } catch {
    const none = t("No camera can be used here. Choose a file instead.");
    say(none);
    $("formats").textContent = none;
    return;
  }
  video.srcObject = stream;
  $("no-photo").onclick = () => dialog.close();
  $("own-camera").onclick = () => {
    dialog.close();
    $("camera").click();
  };
  $("take").onclick = async () => {
    receive([new File([await still(video, video.videoWidth, 0.92)], "photo.jpg", { type: "image/jpeg" })]);
    dialog.close();
  };
  dialog.onclose = () => stream.getTracks().forEach((track) => track.stop());
  dialog.showModal();
  await aim(video, dialog);
}

/** What the video shows now as a JPEG of so many px across. */
function still(video, width, quality) {
  const height = Math.round((width * video.videoHeight) / video.videoWidth);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(video, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

/** Say every other second whether grid and leads are seen, while the dialog is open. */
async function aim(video, dialog) {
  const pause = () => new Promise((done) => setTimeout(done, AIM_EVERY_MS));
  for (await pause(); dialog.open; await pause()) {
    if (!video.videoWidth) continue;
    const view = await still(video, Math.min(AIM_WIDTH, video.videoWidth), 0.8);
    const seen = await look(view).catch(() => null); // busy, or away: the picture can be taken all the same
    if (seen && dialog.open) $("aim").textContent = advice(seen);
  }
}

function advice({ grid, leads }) {
  if (leads.length === 12) return t("Grid and all twelve leads are seen: take it.");
  if (leads.length) return t("Grid and {count} leads are seen: bring the whole page into view.", { count: leads.length });
  if (grid) return t("The grid is seen, the leads are not yet: whole page, nearer, held still.");
  return t("No ECG paper is seen: nearer, straight above, without glare.");
}
