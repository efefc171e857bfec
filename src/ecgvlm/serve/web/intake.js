/** The ways in which pages come: dropped, pasted, chosen, photographed. */

import { say } from "./dom.js";

const $ = (id) => document.getElementById(id);

/** receive([File, ...]) gets what comes. */
export function takeIn(receive) {
  for (const button of ["choose", "add"]) $(button).addEventListener("click", () => $("files").click());
  // A phone's own camera does it best; a desktop's is shown here, where the browser lets us (HTTPS or this machine).
  const phone = matchMedia("(pointer: coarse)").matches;
  $("photograph").hidden = !phone && !navigator.mediaDevices;
  $("photograph").addEventListener("click", () => (phone ? $("camera").click() : photograph(receive)));
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

/** Show what the camera sees in a dialog until a picture is taken. */
async function photograph(receive) {
  const dialog = $("photo");
  const video = dialog.querySelector("video");
  const [take, cancel] = dialog.querySelectorAll("button");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 3840 } } });
  } catch {
    say("No camera can be used");
    $("formats").textContent = "No camera can be used here. Choose a file instead.";
    return;
  }
  video.srcObject = stream;
  cancel.onclick = () => dialog.close();
  take.onclick = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => receive([new File([blob], "photo.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
    dialog.close();
  };
  dialog.onclose = () => stream.getTracks().forEach((track) => track.stop());
  dialog.showModal();
}
