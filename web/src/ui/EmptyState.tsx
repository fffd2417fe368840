import type { ReactNode } from 'react'

interface Props {
  title: string
  children: ReactNode
}

/** Stands where nothing is yet, and says what to do. */
export function EmptyState({ title, children }: Props) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center gap-3 px-4 py-16 text-center">
      <Hatch />
      <p className="text-xl font-semibold tracking-tight">{title}</p>
      <div className="text-muted">{children}</div>
    </div>
  )
}

/** The mark: a round door with its handle. */
export function Hatch({ small = false }: { small?: boolean }) {
  return (
    <svg
      viewBox="0 0 32 32"
      aria-hidden="true"
      className={`${small ? 'size-6' : 'size-12'} shrink-0 fill-none stroke-accent stroke-2`}
    >
      <circle cx="16" cy="16" r="13" />
      {!small && <circle cx="16" cy="16" r="9.5" className="stroke-1 opacity-40" />}
      <path d="M16 8v16M20 16h3" strokeLinecap="round" />
    </svg>
  )
}
