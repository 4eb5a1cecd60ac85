#!/bin/bash
# A run of events in 1000 parts, as a Slurm array:
#   darkpenguin plan run.toml --parts 1000 --output run.root
#   mkdir -p log; sbatch slurm.sh
#   darkpenguin merge --plan run.plan.json        # names what is missing; submit again: a part that is there takes seconds
#SBATCH --job-name=darkpenguin
#SBATCH --array=1-1000
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --output=log/%a.txt

darkpenguin generate run.toml --output run.root --part "$SLURM_ARRAY_TASK_ID/1000" --threads "$SLURM_CPUS_PER_TASK"
code=$?
if [ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then   # a full disk, say: worth another try
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
