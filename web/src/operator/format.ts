import type { Executor, TenantSettings, Work } from '../api/types.ts'

/** Says in a word what an executor does. */
export function executorState(executor: Executor): string {
  if (!executor.alive) {
    return 'Dead'
  }
  if (executor.draining) {
    return executor.busySlots > 0 ? 'Draining' : 'Drained'
  }
  return executor.pulling ? 'Ready' : 'Waits'
}

/** A count; with a plus if counting stopped at it. */
export function formatCount(count: number, work: Work): string {
  return count.toLocaleString() + (count >= work.countLimit ? '+' : '')
}

/** The limits that differ from the defaults of the installation. */
export function formatSettings(settings: TenantSettings): string {
  const { maxQueued, maxRunning, maxDailyUsd, softLimit, weight, transcriptRetention } = settings
  const set = [
    maxQueued !== undefined && formatLimit(maxQueued, 'queued'),
    maxRunning !== undefined && formatLimit(maxRunning, 'running'),
    maxDailyUsd !== undefined && formatLimit(maxDailyUsd, 'USD a day'),
    softLimit !== undefined && `warned at ${(softLimit * 100).toFixed()} %`,
    weight !== undefined && `weight ${weight.toLocaleString()}`,
    transcriptRetention !== undefined && `transcripts for ${transcriptRetention}`,
  ]
  return set.filter((text) => text !== false).join(', ')
}

/** A limit of a tenant. The server's 0 is none. */
function formatLimit(limit: number, of: string): string {
  return limit === 0
    ? `no limit of ${of}`
    : `${limit.toLocaleString(undefined, { maximumFractionDigits: 6 })} ${of}`
}
