// Runs a Python file in Pyodide, in Node: node run.mjs PYODIDE WHEELS REPOSITORY FILE ARGUMENTS...
// The repository is mounted at /repo; the file finds its arguments in ARGUMENTS.
import fs from "fs";

const [release, wheels, repository, file, ...rest] = process.argv.slice(2);
const { loadPyodide } = await import(`${release}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: `${release}/` });
const quiet = { messageCallback: () => {} };
await python.loadPackage(["numpy", "packaging", "pygments"], quiet);
for (const [inside, outside] of [["/repo", repository], ["/wheels", wheels]]) {
  python.FS.mkdirTree(inside);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: outside }, inside);
}
python.runPython(`
import glob, os, sys, sysconfig, zipfile
for wheel in glob.glob("/wheels/*.whl"):
    zipfile.ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
sys.path.insert(0, "/repo")
os.chdir("/repo")
`);
python.globals.set("ARGUMENTS", python.toPy(rest));
await python.runPythonAsync(fs.readFileSync(file, "utf8"));
