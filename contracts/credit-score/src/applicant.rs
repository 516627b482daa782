//! What is known of an applicant, as the models take it.

use cosmwasm_schema::cw_serde;

use crate::ContractError;

/// One feature: its name and the values that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The field of [`Applicant`].
    pub name: &'static str,
    /// Least value.
    pub min: u32,
    /// Largest value.
    pub max: u32,
}

macro_rules! features {
    ($($(#[doc = $doc:literal])+ $name:ident in $min:literal..=$max:literal,)+) => {
        /// An application for a credit. `model/features.json` has the meaning of every code; categories run from the
        /// riskiest to the safest.
        #[cw_serde]
        pub struct Applicant {
            $($(#[doc = $doc])+ pub $name: u32,)+
        }

        /// The features in the order in which the models take them.
        pub const FEATURES: &[Feature] = &[$(Feature { name: stringify!($name), min: $min, max: $max },)+];

        impl Applicant {
            /// The features' values, in the order of [`FEATURES`].
            pub fn values(&self) -> [i64; FEATURES.len()] {
                [$(self.$name.into(),)+]
            }

            /// The applicant with these values, in the order of [`FEATURES`].
            pub fn from_values([$($name,)+]: [u32; FEATURES.len()]) -> Self {
                Applicant { $($name,)+ }
            }
        }
    };
}

features! {
    /// Credit asked for, in DM.
    amount in 250..=20_000,
    /// Duration of the credit, in months.
    duration in 4..=72,
    /// Age, in years.
    age in 18..=80,
    /// Instalment as a share of disposable income: 1 = under 20 %, 2 = 20..25 %, 3 = 25..35 %, 4 = over 35 %.
    installment_rate in 1..=4,
    /// Time at the present address: 1 = up to 1 year, 2 = 1..4, 3 = 4..7, 4 = over 7 years.
    residence_since in 1..=4,
    /// Credits at this bank, this one included.
    existing_credits in 1..=4,
    /// People to provide for.
    dependants in 1..=2,
    /// State of the checking account.
    checking in 0..=3,
    /// Credit history.
    history in 0..=4,
    /// What the credit is for.
    purpose in 0..=9,
    /// Savings account and bonds.
    savings in 0..=4,
    /// Years in the present employment.
    employment in 0..=4,
    /// Other debtors or guarantors.
    guarantors in 0..=2,
    /// Most valuable property.
    property in 0..=3,
    /// Instalment plans elsewhere.
    other_plans in 0..=2,
    /// Housing.
    housing in 0..=2,
    /// Job.
    job in 0..=3,
    /// Telephone in the applicant's name.
    telephone in 0..=1,
}

impl Applicant {
    /// Refuses values that mean nothing: a model would answer them all the same.
    pub fn validate(&self) -> Result<(), ContractError> {
        for (value, feature) in self.values().into_iter().zip(FEATURES) {
            if !(i64::from(feature.min)..=i64::from(feature.max)).contains(&value) {
                return Err(ContractError::FeatureOutOfRange {
                    feature: *feature,
                    value,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_that_the_models_were_trained_on() {
        let json: serde_json::Value = serde_json::from_str(include_str!("../model/features.json")).unwrap();
        let trained: Vec<_> = json["features"].as_array().unwrap().iter().collect();
        assert_eq!(trained.len(), FEATURES.len());
        for (trained, feature) in trained.into_iter().zip(FEATURES) {
            assert_eq!(trained["name"], feature.name);
            assert_eq!(trained["min"], feature.min, "{}", feature.name);
            assert_eq!(trained["max"], feature.max, "{}", feature.name);
        }
    }

    #[test]
    fn values_at_the_ends_are_taken_and_beyond_refused() {
        let least: Vec<u32> = FEATURES.iter().map(|f| f.min).collect();
        let most: Vec<u32> = FEATURES.iter().map(|f| f.max).collect();
        for ends in [&least, &most] {
            Applicant::from_values(ends.clone().try_into().unwrap())
                .validate()
                .unwrap();
        }
        for (index, feature) in FEATURES.iter().enumerate() {
            let mut values = most.clone();
            values[index] += 1;
            let refused = Applicant::from_values(values.clone().try_into().unwrap())
                .validate()
                .unwrap_err();
            assert!(
                matches!(refused, ContractError::FeatureOutOfRange { feature: f, value } if f == *feature && value == i64::from(values[index]))
            );
        }
    }
}
