//! A plot as an SVG within the page. It uses the colours of the page, so it follows dark mode.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// A colour of the page. In the drawing it is a unique number, and in the SVG a variable of the style sheet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    /// Axes and their labels.
    Axis,
    /// Lines of the grid.
    Grid,
    /// The first series.
    First,
    /// The second series.
    Second,
    /// The third series.
    Third,
    /// Limits and failures.
    Bad,
    /// The part that counts.
    Hold,
}

impl Ink {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Axis, "--muted"),
        (Self::Grid, "--grid"),
        (Self::First, "--first"),
        (Self::Second, "--second"),
        (Self::Third, "--third"),
        (Self::Bad, "--bad"),
        (Self::Hold, "--hold"),
    ];

    /// Returns the name of the variable.
    pub(super) fn variable(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(ink, _)| *ink == self)
            .map_or("--muted", |(_, name)| name)
    }

    fn color(self) -> RGBColor {
        let number = Self::ALL.iter().position(|(ink, _)| *ink == self).unwrap_or(0);
        // Any unique colour would do.
        RGBColor(1, 2, number as u8)
    }
}

/// The mark that shows a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// A line.
    Line,
    /// A dashed line, for the target.
    Dashes,
    /// A filled dot for each point.
    Dots,
    /// A ring for each point.
    Rings,
}

/// A series of points.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) ink: Ink,
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) show: fn(&f64) -> String,
}

/// A plot.
pub(super) struct Plot {
    /// Its title, which is also its accessible label.
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Whether y has a logarithmic scale.
    pub(super) logarithmic: bool,
    /// The range of x that counts.
    pub(super) hold: Option<(f64, f64)>,
    pub(super) series: Vec<Series>,
    /// Width and height in pixels of the page.
    pub(super) size: (u32, u32),
}

/// Drawings have only whole coordinates, so there are this many for each pixel of the page.
const FINE: u32 = 4;

impl Plot {
    /// Returns the SVG, or an empty string if there is nothing to draw.
    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let finite = points().filter(|(x, y)| x.is_finite() && y.is_finite());
        let range = finite.fold(None, |range: Option<(f64, f64, f64, f64)>, (x, y)| {
            let (left, right, low, high) = range.unwrap_or((*x, *x, *y, *y));
            Some((left.min(*x), right.max(*x), low.min(*y), high.max(*y)))
        });
        let Some((left, right, low, high)) = range else {
            return String::new();
        };
        let right = if right > left { right } else { left + 1.0 };
        let mut out = String::new();
        let drawn = {
            let size = (self.size.0 * FINE, self.size.1 * FINE);
            let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
            match self.logarithmic {
                true => {
                    let low = low.max(high / 1e6).max(1e-3);
                    let y = (low / 1.3..(high * 1.5).max(low * 2.0)).log_scale();
                    self.draw(&area, left..right, y, low / 1.3)
                }
                false => {
                    let high = if high > 0.0 { high * 1.08 } else { 1.0 };
                    self.draw(&area, left..right, 0.0..high, 0.0)
                }
            }
        };
        match drawn {
            Ok(()) => self.finish(&out),
            // Drawing into memory does not fail. If it did, a page without one plot would be better than no page.
            Err(_) => String::new(),
        }
    }

    fn draw<'a, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        x: std::ops::Range<f64>,
        y: Y,
        floor: f64,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    {
        let fine = FINE as i32;
        let words = |size: i32| ("sans-serif", size * fine).into_font().color(&Ink::Axis.color());
        let mut chart = ChartBuilder::on(area)
            .margin_top(8 * fine)
            .margin_right(14 * fine)
            .x_label_area_size(42 * fine)
            .y_label_area_size(62 * fine)
            .build_cartesian_2d(x, y)?;
        if let Some((from, to)) = self.hold {
            let top = chart.y_range().end;
            let band = Rectangle::new([(from, floor), (to, top)], Ink::Hold.color().filled());
            chart.draw_series([band])?;
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Grid.color().stroke_width(FINE))
            .axis_style(Ink::Grid.color().stroke_width(FINE))
            .label_style(words(15))
            .axis_desc_style(words(15))
            .x_labels(6)
            .y_labels(if self.logarithmic { 12 } else { 5 })
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_label_formatter(&self.x.show)
            .y_label_formatter(&self.y.show)
            .set_all_tick_mark_size(3 * fine)
            .draw()?;
        for series in &self.series {
            let color = series.ink.color();
            let points = || series.points.iter().copied().map(|(x, y)| (x, y.max(floor)));
            match series.mark {
                Mark::Line => drop(chart.draw_series(LineSeries::new(points(), color.stroke_width(2 * FINE)))?),
                Mark::Dashes => {
                    let style = color.stroke_width(FINE + FINE / 2);
                    chart.draw_series(DashedLineSeries::new(points(), 5 * FINE, 4 * FINE, style))?;
                }
                Mark::Dots => drop(chart.draw_series(points().map(|at| Circle::new(at, 4 * fine, color.filled())))?),
                Mark::Rings => {
                    let style = color.stroke_width(2 * FINE);
                    chart.draw_series(points().map(|at| Circle::new(at, 4 * fine, style)))?;
                }
            }
        }
        area.present()
    }

    /// Returns the drawing as a part of the page.
    fn finish(&self, drawn: &str) -> String {
        let mut svg = drawn.to_owned();
        for (ink, variable) in Ink::ALL {
            let RGBColor(red, green, blue) = ink.color();
            svg = svg.replace(
                &format!("\"#{red:02X}{green:02X}{blue:02X}\""),
                &format!("\"var({variable})\""),
            );
        }
        let (width, height) = (self.size.0 * FINE, self.size.1 * FINE);
        let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
        let title = maud::html! { (self.title) }.into_string().replace('"', "&quot;");
        svg.replacen(&sized, &format!("<svg role=\"img\" aria-label=\"{title}\""), 1)
    }
}
