/** Formats a duration for people. A negative one becomes 0: two machines' clocks may differ. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 10) {
    return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`
  }
  if (seconds < 60) {
    return `${Math.floor(seconds)} s`
  }
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) {
    return `${minutes} min ${Math.floor(seconds % 60)} s`
  }
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Formats a duration in whole seconds, for a display that updates every second. */
export function formatElapsed(ms: number): string {
  return ms < 10_000 ? `${Math.floor(Math.max(0, ms) / 1000)} s` : formatDuration(ms)
}

const today = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const earlier = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export function formatTimestamp(iso: string, now = new Date()): string {
  const time = new Date(iso)
  return (time.toDateString() === now.toDateString() ? today : earlier).format(time)
}

export function formatExact(iso: string): string {
  return exact.format(new Date(iso))
}

/** Formats a size for people, in powers of 1024. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) {
    return bytes === 1 ? '1 byte' : `${bytes} bytes`
  }
  return bytes < 1024 * 1024 ? `${formatKiB(bytes)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

export function formatKiB(bytes: number): string {
  return (bytes / 1024).toFixed(bytes < 10 * 1024 ? 1 : 0)
}
