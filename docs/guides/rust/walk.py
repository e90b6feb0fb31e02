import subprocess

from harness import REPOSITORY, Failed


def walk(at):
    """The sample is compiled into a test of the repository, which starts a Mooring by itself."""
    command = ["cargo", "test", "--locked", "--test", "integration", "--", "guides::a_foreign", "guides::refreshes"]
    at.say(" ".join(command))
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    for line in sorted(done.stdout.splitlines()):
        if line.startswith("test guides"):
            at.say(f"    {line}")
    if done.returncode:
        raise Failed(done.stdout[-3000:] + done.stderr[-3000:])
