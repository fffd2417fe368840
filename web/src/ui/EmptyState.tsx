import type { ReactNode } from 'react'
import { Logo } from './Logo.tsx'

interface Props {
  title: string
  children: ReactNode
}

/** Takes the place of an empty list, and says what to do next. */
export function EmptyState({ title, children }: Props) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center gap-3 px-4 py-16 text-center">
      <Logo />
      <p className="text-xl font-semibold tracking-tight">{title}</p>
      <div className="text-muted">{children}</div>
    </div>
  )
}
