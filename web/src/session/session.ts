import { useSyncExternalStore } from 'react'

/** The credentials with which this page calls the server. */
export interface Session {
  /** The API key; undefined while none was needed. */
  key: string | undefined
  /** Why the server rejected the key of the last call; undefined while it accepts it. */
  rejection: string | undefined
}

// Session storage belongs to this tab alone, and the browser removes it with the tab.
const storageKey = 'airlock.key'

let session: Session = { key: window.sessionStorage.getItem(storageKey) ?? undefined, rejection: undefined }
const listeners = new Set<() => void>()

export function currentKey(): string | undefined {
  return session.key
}

/** Uses a key from now on. The next call shows whether the server accepts it. */
export function signIn(key: string): void {
  window.sessionStorage.setItem(storageKey, key)
  change({ key, rejection: undefined })
}

export function signOut(): void {
  window.sessionStorage.removeItem(storageKey)
  change({ key: undefined, rejection: 'Signed out.' })
}

/** Records that the server rejected a key. Does nothing when that key is no longer the one in use. */
export function rejectKey(key: string | undefined, reason: string): void {
  if (key === session.key) {
    change({ key, rejection: reason })
  }
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session)
}

function change(next: Session): void {
  session = next
  for (const listener of listeners) {
    listener()
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
