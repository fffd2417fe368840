import type { ReactNode } from 'react'
import { hrefOf, type Route } from '../route/route.ts'

export function TextLink({ to, children }: { to: Route; children: ReactNode }) {
  return (
    <a href={hrefOf(to)} className="text-accent underline decoration-1 underline-offset-3 hover:decoration-2">
      {children}
    </a>
  )
}
