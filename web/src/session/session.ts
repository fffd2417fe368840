import { useSyncExternalStore } from 'react'

/** As whom this page calls the server. */
export interface Session {
  /** The API key; undefined where none was needed so far. */
  key: string | undefined
  /** Why the server did not let the last call in; undefined while it does. */
  refused: string | undefined
}

// Gone with the tab, and no other page's.
const place = 'airlock.key'

let session: Session = { key: window.sessionStorage.getItem(place) ?? undefined, refused: undefined }
const listeners = new Set<() => void>()

export function currentKey(): string | undefined {
  return session.key
}

/** Uses a key from now on; whether it is good, the next call tells. */
export function signIn(key: string): void {
  window.sessionStorage.setItem(place, key)
  change({ key, refused: undefined })
}

export function signOut(): void {
  window.sessionStorage.removeItem(place)
  change({ key: undefined, refused: 'Signed out.' })
}

/** A call was not let in with the key that it had; a call with an earlier key says nothing about the one there is now. */
export function refuse(key: string | undefined, why: string): void {
  if (key === session.key) {
    change({ key, refused: why })
  }
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session)
}

function change(next: Session): void {
  session = next
  for (const changed of listeners) {
    changed()
  }
}

function subscribe(changed: () => void): () => void {
  listeners.add(changed)
  return () => listeners.delete(changed)
}
