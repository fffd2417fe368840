import type { Execution, Status } from '../api/types.ts'

/** Whether the execution has ended: nothing about it changes any more. */
export function hasEnded(status: Status): boolean {
  return status !== 'queued' && status !== 'running'
}

export const statusLabel: Record<Status, string> = {
  queued: 'Queued',
  running: 'Running',
  succeeded: 'Succeeded',
  failed: 'Failed',
  timed_out: 'Timed out',
  canceled: 'Cancelled',
}

/** When the phase began that the execution is in: waiting, or running. */
export function phaseStart(execution: Execution): string {
  return (execution.status === 'running' ? execution.startedAt : undefined) ?? execution.createdAt
}
