import type { Execution, Status } from '../api/types.ts'

/** Reports whether the execution has finished. A finished execution does not change any more. */
export function isFinished(status: Status): boolean {
  return status !== 'queued' && status !== 'running'
}

export const statusLabel: Record<Status, string> = {
  queued: 'Queued',
  running: 'Running',
  succeeded: 'Succeeded',
  failed: 'Failed',
  timed_out: 'Timed out',
  canceled: 'Canceled',
}

/** Returns the start of the current phase: waiting or running. */
export function phaseStart(execution: Execution): string {
  return (execution.status === 'running' ? execution.startedAt : undefined) ?? execution.createdAt
}
