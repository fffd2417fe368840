import { hashKey, type QueryClient, type QueryKey } from '@tanstack/react-query'

// The shortest time between two reads of the same query.
const minPauseMs = 2_000

/** Reads queries again that have changed: at once, and during many changes once per pause. */
export class Refetcher {
  private readonly client: QueryClient
  /** The queries that were invalidated less than a pause ago, and whether they have changed since. */
  private readonly recent = new Map<string, boolean>()

  constructor(client: QueryClient) {
    this.client = client
  }

  invalidate(queryKey: QueryKey): void {
    const hash = hashKey(queryKey)
    if (this.recent.has(hash)) {
      this.recent.set(hash, true)
      return
    }
    // A read that is under way may have missed the change. It goes on, and another one follows it.
    this.recent.set(hash, this.client.isFetching({ queryKey }) > 0)
    const read = this.client.invalidateQueries({ queryKey }, { cancelRefetch: false })
    const pause = new Promise((resolve) => setTimeout(resolve, minPauseMs))
    void Promise.all([read, pause]).then(() => {
      const changed = this.recent.get(hash)
      this.recent.delete(hash)
      if (changed) {
        this.invalidate(queryKey)
      }
    })
  }
}
