#!/usr/bin/env bash
# Trains the contracts' models again: runs train/train.py of every contract that has one, or of the contracts named
# (`scripts/train-models.sh [NAME...]`), each in a Python environment made from its train/requirements.txt.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

have python3 || fail "python3 is not installed" "install Python 3 with its venv module (Debian: apt-get install python3-venv)"

# environment REQUIREMENTS: prints the folder of a venv with those packages; contracts that ask the same share it.
environment() {
  local key venv
  key=$({
    python3 --version
    cat "$1"
  } | sha256)
  venv=$cache/train-${key:0:16}
  if [ ! -f "$venv/complete" ]; then
    say "installing the Python packages of ${1#"$root"/}"
    rm -rf "$venv"
    logged "$cache/log/venv" python3 -m venv "$venv" ||
      fail "python3 cannot make a virtual environment" "install its venv module (Debian: apt-get install python3-venv)"
    logged "$cache/log/pip" "$venv/bin/python" -m pip install --requirement "$1" ||
      fail "pip could not install ${1#"$root"/} (see $cache/log/pip)" "check the network and the versions named there, then run this again"
    touch "$venv/complete"
  fi
  printf '%s\n' "$venv"
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for script in "$root"/contracts/*/train/train.py; do
    [ -f "$script" ] && names+=("$(basename "$(dirname "$(dirname "$script")")")")
  done
fi
[ ${#names[@]} -gt 0 ] || fail "no contract has a train/train.py"

locked train
for name in "${names[@]}"; do
  folder=$root/contracts/$name/train
  [ -f "$folder/train.py" ] || fail "contracts/$name/train/train.py does not exist"
  [ -f "$folder/requirements.txt" ] || fail "contracts/$name/train/requirements.txt does not exist" "list the packages that train.py imports there, with their versions"
  venv=$(environment "$folder/requirements.txt")
  say "training the models of $name"
  # One thread: with more, the order of float additions and so the weights could differ from run to run.
  (cd "$folder" && OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$venv/bin/python" train.py) ||
    fail "contracts/$name/train/train.py failed" "see its message above"
done
