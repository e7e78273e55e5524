// Files to and from the disk.

/**
 * Hand a file to the browser to save.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Let the person choose files, through an input that lies in the page.
 * @param {HTMLInputElement} input
 * @param {(files: File[]) => void} take
 */
export function onChosen(input, take) {
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) take(files);
  });
}

/** A file name without its ending. @param {string} name @returns {string} */
export function stem(name) {
  return name.replace(/\.[^.]+$/, "");
}
